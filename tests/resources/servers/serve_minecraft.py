"""A Minecraft server with quarry. Argument: PORT."""

import sys

from quarry.net.server import ServerFactory, ServerProtocol
from twisted.internet import reactor

VERSION = 754


class Protocol(ServerProtocol):
    def packet_handshake(self, buff):
        super().packet_handshake(buff)
        # quarry only knows versions of the game; the game also accepts -1 in status requests.
        if self.protocol_version == -1:
            self.protocol_version = VERSION


class Factory(ServerFactory):
    protocol = Protocol

    def get_buff_type(self, protocol_version):
        return super().get_buff_type(VERSION if protocol_version == -1 else protocol_version)


Factory().listen("127.0.0.1", int(sys.argv[1]))
reactor.run()
