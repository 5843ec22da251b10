"""A FastAPI app: typed input, JSON out, and a streamed answer."""

import asyncio
import os

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

app = FastAPI(title="A FastAPI app behind fprs")


class Order(BaseModel):
    item: str
    count: int = 1


@app.get("/")
def index():
    return {"hello": "fastapi", "pid": os.getpid()}


@app.post("/orders")
def order(order: Order):
    return {"ordered": f"{order.count} × {order.item}"}


@app.get("/count/{to}")
def count(to: int):
    async def numbers():
        for n in range(to):
            yield f"{n}\n"
            await asyncio.sleep(0.1)

    return StreamingResponse(numbers(), media_type="text/plain")
