"""A real connection between two services, which can be cut, delayed, or left open with nobody behind it."""

import socket
import threading
import time
from contextlib import suppress
from typing import Literal

Line = Literal["through", "cut", "half-open"]


class TcpProxy:
    def __init__(self, port: int) -> None:
        self.line: Line = "through"
        self.delay = 0.0
        self._port = port
        self._ends: list[socket.socket] = []
        self._carriers: list[threading.Thread] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        self._listener = threading.Thread(target=self._accept)
        self._listener.start()

    def cut(self) -> None:
        """What is under way is lost too."""
        self.line = "cut"
        for end in self._ends:
            _shut(end)

    def close(self) -> None:
        _shut(self._server)
        self._listener.join()
        self.cut()
        for carrier in self._carriers:
            carrier.join()
        for end in (*self._ends, self._server):
            end.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._server.accept()
                self._ends.append(near)
                if self.line == "cut":
                    _shut(near)
                else:
                    self._join(near)

    def _join(self, near: socket.socket) -> None:
        far = socket.create_connection(("127.0.0.1", self._port))
        self._ends.append(far)
        for ends in ((near, far), (far, near)):
            self._carriers.append(threading.Thread(target=self._carry, args=ends))
            self._carriers[-1].start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while sent := source.recv(65536):
                time.sleep(self.delay)
                if self.line == "through":
                    target.sendall(sent)
        _shut(source)
        _shut(target)


def _shut(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
