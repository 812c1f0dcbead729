"""One transfer with Python's ftplib in the mode that is asked for, and in no other.

usage: python3 - HOST PORT pasv|epsv|port|eprt list|download|upload|resume|abort REMOTE LOCAL USER
                 PASSWORD [explicit|implicit P|C [ccc]]

`resume` goes on where the file LOCAL ends; `abort` has two REMOTEs, LARGE,NAME: the first is aborted,
then the second comes.

The dialogue goes to standard error, what was received to the file LOCAL.
"""

import contextlib
import ftplib
import os
import socket
import ssl
import sys

# As ftpfw_tests::wait::factor.
FACTOR = int(os.environ.get("FTPFW_PATIENCE", 1))


class Client(ftplib.FTP_TLS):
    def __init__(self, mode, tls):
        # Nobody has signed the certificate.
        super().__init__(context=ssl._create_unverified_context(), timeout=15 * FACTOR)
        self.mode = mode
        self.tls = tls
        self.set_pasv(mode in ("pasv", "epsv"))
        self.set_debuglevel(1)

    def getresp(self):
        # The first reply behind the handshake, if that comes before it.
        if self.tls == "implicit" and not isinstance(self.sock, ssl.SSLSocket):
            self.sock = self.context.wrap_socket(self.sock, server_hostname=self.host)
            self.file = self.sock.makefile("r", encoding=self.encoding)
        return super().getresp()

    def makepasv(self):
        if self.mode == "pasv":
            # The address inside the 227 is not used: see trust_server_pasv_ipv4_address.
            return self.sock.getpeername()[0], ftplib.parse227(self.sendcmd("PASV"))[1]
        return ftplib.parse229(self.sendcmd("EPSV"), self.sock.getpeername())

    def makeport(self):
        listener = socket.create_server(("", 0), family=self.af, backlog=1)
        host, port = self.sock.getsockname()[0], listener.getsockname()[1]
        (self.sendport if self.mode == "port" else self.sendeprt)(host, port)
        listener.settimeout(self.timeout)
        return listener


def abort(ftp, large):
    """ABOR in the middle. How many replies come, 426, 226 or 225, is the server's choice: NOOP's is the end."""
    data = ftp.transfercmd(f"RETR {large}")
    data.recv(1000)
    print("*cmd* 'ABOR'")
    ftp.sock.sendall(b"ABOR\r\n")
    data.close()
    ftp.putcmd("NOOP")
    while ftp.getmultiline()[:3] not in ("200", "500", "502"):
        pass


def main(host, port, mode, action, remote, local, user, password, tls=None, prot=None, ccc=None):
    # ftplib prints its dialogue to standard output.
    with contextlib.redirect_stdout(sys.stderr), Client(mode, tls) as ftp:
        ftp.connect(host, int(port))
        if tls == "explicit":
            ftp.auth()
        ftp.login(user, password, secure=False)
        if tls:
            # prot_c() leaves PBSZ out, which RFC 2228 wants before any PROT.
            ftp.voidcmd("PBSZ 0")
            (ftp.prot_p if prot == "P" else ftp.prot_c)()
        if ccc:
            ftp.ccc()
        if action == "upload":
            with open(local, "rb") as source:
                ftp.storbinary(f"STOR {remote}", source)
            return
        if action == "abort":
            large, remote = remote.split(",")
            abort(ftp, large)
        with open(local, "ab") as sink:
            command = "LIST" if action == "list" else f"RETR {remote}"
            ftp.retrbinary(command, sink.write, rest=sink.tell() or None)


main(*sys.argv[1:])
