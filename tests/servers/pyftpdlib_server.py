"""pyftpdlib with one user, who may read everything and write where the file system lets her.

usage: python3 - HOST PORT ROOT LOW HIGH [explicit|implicit CERTIFICATE]

With LISTEN_FDS in the environment it serves the socket that it was handed (sd_listen_fds(3)).
"""

import os
import socket
import sys

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler
from pyftpdlib.servers import FTPServer


class Implicit(TLS_FTPHandler):
    """TLS from the first byte: what pyftpdlib leaves to its users."""

    def handle(self):
        self.secure_connection(self.ssl_context)

    def handle_ssl_established(self):
        super().handle()


def main(host, port, root, low, high, tls=None, certificate=None):
    handler = {None: FTPHandler, "explicit": TLS_FTPHandler, "implicit": Implicit}[tls]
    if certificate:
        handler.certfile = certificate
        # Without it, OpenSSL ends a connection whose client resumes a session, as curl's does.
        handler.ssl_context = handler.get_ssl_context()
        handler.ssl_context.set_session_id(b"tests")
    handler.authorizer = DummyAuthorizer()
    handler.authorizer.add_user("anonymous", "tests@example.net", root, perm="elradfmw")
    handler.passive_ports = range(int(low), int(high) + 1)
    handler.use_sendfile = False
    if os.environ.get("LISTEN_FDS"):
        listener = socket.socket(fileno=3)
    else:
        listener = (host, int(port))
    FTPServer(listener, handler).serve_forever()


main(*sys.argv[1:])
