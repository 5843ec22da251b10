"""The openai client against the example server: its streams, its answers and its errors."""

import sys

from openai import NotFoundError, OpenAI

from transcript import say, target

host, port, authority = target()
client = OpenAI(
    base_url=f"http://{host}:{port}/v1",
    api_key="not-checked",
    default_headers={"Host": authority},
    max_retries=0,
    timeout=20,
)
ASKED = {"model": "words-1", "messages": [{"role": "user", "content": "Say ☃"}], "max_tokens": 24}

say("models", [model.id for model in client.models.list()])

whole = client.chat.completions.create(**ASKED)
say("whole", whole.choices[0].message.content, whole.choices[0].finish_reason)
assert whole.usage.completion_tokens == 24

streamed, finish, usage = "", None, None
stream = client.chat.completions.create(
    **ASKED, stream=True, stream_options={"include_usage": True}
)
for chunk in stream:
    usage = chunk.usage or usage
    for choice in chunk.choices:
        say("token", choice.delta.content)
        streamed += choice.delta.content or ""
        finish = choice.finish_reason or finish
say("streamed", streamed, finish, usage.completion_tokens)
assert streamed.strip() == whole.choices[0].message.content.strip()

left = client.chat.completions.create(**{**ASKED, "max_tokens": 100_000}, stream=True)
for _ in range(3):
    next(iter(left))
left.close()
say("left early")

try:
    client.files.list()
except NotFoundError as error:
    say("not found", error.status_code, error.response.json())
else:
    sys.exit("a path that isn't there was answered")
