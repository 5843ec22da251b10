"""The openai client, token by token: each is here before the program sends the next."""

from openai import OpenAI

from transcript import say, target

host, port, authority = target()
client = OpenAI(
    base_url=f"http://{host}:{port}/v1",
    api_key="not-checked",
    default_headers={"Host": authority},
    max_retries=0,
    timeout=20,
)
ASKED = {"model": "paced", "messages": [{"role": "user", "content": "Count"}]}

number = 0
for chunk in client.chat.completions.create(**ASKED, stream=True, extra_query={"run": "openai"}):
    say("token", chunk.choices[0].delta.content)
    path = f"http://{host}:{port}/arrived?run=openai&number={number}"
    client.post(path, cast_to=object)
    number += 1
assert number == 20
