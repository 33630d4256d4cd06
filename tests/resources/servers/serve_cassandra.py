"""A Cassandra server from its Python driver. Arguments: PORT and the response to OPTIONS. Prints the requests."""

import io
import socketserver
import sys

from cassandra import protocol
from cassandra.protocol import ProtocolHandler

port, answer = sys.argv[1:]
OPTIONS = ProtocolHandler.encode_message(protocol.OptionsMessage(), 0, 4, None, False)
ERRORS = {
    "broken": protocol.ServerError,
    "login": protocol.BadCredentials,
    "overloaded": protocol.OverloadedErrorMessage,
    "bootstrapping": protocol.IsBootstrappingErrorMessage,
    "unknown-version": protocol.ProtocolException,
}


def message():
    body = io.BytesIO()
    if error := ERRORS.get(answer):
        protocol.write_int(body, error.error_code)
        protocol.write_string(body, error.summary)
        opcode = protocol.ErrorMessage.opcode
    else:
        options = {"PROTOCOL_VERSIONS": ["4/v4", "5/v5"], "COMPRESSION": ["snappy", "lz4"], "CQL_VERSION": ["3.4.7"]}
        protocol.write_stringmultimap(body, options)
        opcode = protocol.SupportedMessage.opcode
    frame = io.BytesIO()
    ProtocolHandler._write_header(frame, 0x84, 0, 0, opcode, len(body.getvalue()))
    return frame.getvalue() + body.getvalue()


class Handler(socketserver.BaseRequestHandler):
    def handle(self):
        asked = self.request.recv(len(OPTIONS))
        if asked:
            print("OPTIONS" if asked == OPTIONS else asked, flush=True)
            self.request.sendall(message())
            self.request.recv(1)


socketserver.ThreadingTCPServer(("127.0.0.1", int(port)), Handler).serve_forever()
