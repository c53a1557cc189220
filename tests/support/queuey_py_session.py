"""What a program written for queuey-py 0.2 does, and what it sees; runs on Python 2.7 and 3 alike.

``python queuey_py_session.py URL KEY`` uses the real library; tests also run it with a client of their own that makes
the same calls in the same forms.
"""

# mypy: allow-untyped-defs, allow-untyped-calls

import json
import sys
import uuid


def observe(client):
    """Return what each call gave, in names that a test can compare."""
    seen = {}
    seen["connect"] = client.connect().status_code
    seen["created"] = client.create_queue(partitions=1, queue_name="mail")
    seen["created_again"] = client.create_queue(partitions=1, queue_name="mail")
    seen["named_by_the_service"] = len(client.create_queue())
    listed = json.loads(client.get("", params={"details": "true"}).text)
    seen["listed"] = sorted((queue["queue_name"] == "mail", queue["partitions"]) for queue in listed["queues"])
    observe_messages(client, seen)
    observe_changes(client, seen)
    observe_refusals(client, seen)
    seen["queue_deleted"] = client.delete("mail").status_code
    seen["queue_gone"] = client.get("mail").status_code
    return seen


def observe_messages(client, seen):
    """Post raw and in a batch; read from the beginning, from a message on, backwards."""
    posted = client.post("mail", data="first")
    seen["posted"] = posted.status_code
    first = json.loads(posted.text)["messages"][0]["key"]
    seen["batch"] = client.post("mail", data=["second", "third"]).status_code
    seen["read"] = [message["body"] for message in client.messages("mail")]
    seen["read_since"] = [message["body"] for message in client.messages("mail", since=first)]
    seen["read_limited"] = [message["body"] for message in client.messages("mail", limit=2)]
    seen["read_backwards"] = [message["body"] for message in client.messages("mail", order="descending", limit=1)]
    queue = client.create_queue()
    client.post(queue, data=[json.loads('"caf\\u00e9"')])
    seen["own_language"] = [message["body"] for message in client.messages(queue)]
    message = client.messages("mail")[0]
    seen["message"] = sorted(set(message) & {"message_id", "timestamp", "body", "partition"})
    seen["same_id"] = message["message_id"] == first
    seen["timestamp_is_text"] = message["timestamp"] == message["timestamp"] + ""


def observe_changes(client, seen):
    """Overwrite a message, make one under an id of one's own, delete one."""
    first = client.messages("mail")[0]["message_id"]
    seen["put"] = client.put("mail/1%3A" + first, data="changed", headers={"X-TTL": "2592000"}).status_code
    seen["changed"] = [message["body"] for message in json.loads(client.get("mail/" + first).text)["messages"]]
    own = uuid.uuid1().hex
    seen["own_id_unknown"] = json.loads(client.get("mail/1%3A" + own).text)["messages"]
    client.put("mail/1%3A" + own, data="bookmark")
    seen["own_id"] = [message["body"] for message in json.loads(client.get("mail/1%3A" + own).text)["messages"]]
    seen["delete"] = client.delete("mail/" + first).status_code
    seen["after_delete"] = [message["body"] for message in client.messages("mail")]


def observe_refusals(client, seen):
    """Errors come as a status and a body that names the field."""
    try:
        client.create_queue(partitions=-1)
    except Exception as error:
        seen["bad_partitions"] = error.args[0]
    try:
        client.messages("mail", order="sideways")
    except Exception as error:
        seen["bad_order"] = (error.args[0], "order" in json.loads(error.args[1].text)["error_msg"])


if __name__ == "__main__":
    from queuey_py import Client  # type: ignore[import-not-found]

    sys.stdout.write(json.dumps(observe(Client(sys.argv[2], sys.argv[1]))))
