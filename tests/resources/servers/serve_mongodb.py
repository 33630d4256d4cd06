"""A MongoDB server with MockupDB. Arguments: PORT and the responses to hello and isMaster as JSON. Prints the requests."""

import json
import sys

from mockupdb import MockupDB

port, *answers = sys.argv[1:]
answers = dict(zip(["hello", "isMaster"], map(json.loads, answers)))
server = MockupDB(port=int(port))
server.run()
while True:
    request = server.receives(timeout=3600)
    print(repr(request), flush=True)
    request.reply(answers[request.command_name])
