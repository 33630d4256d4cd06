"""Minecraft as quarry speaks it: PORT."""

import sys

from quarry.net.server import ServerFactory, ServerProtocol
from twisted.internet import reactor

VERSION = 754


class Protocol(ServerProtocol):
    def packet_handshake(self, buff):
        super().packet_handshake(buff)
        # quarry knows none but the versions of the game; the game takes -1 of those who only ask.
        if self.protocol_version == -1:
            self.protocol_version = VERSION


class Factory(ServerFactory):
    protocol = Protocol

    def get_buff_type(self, protocol_version):
        return super().get_buff_type(VERSION if protocol_version == -1 else protocol_version)


Factory().listen("127.0.0.1", int(sys.argv[1]))
reactor.run()
