"""A TCP proxy that cuts a connection after so many bytes, as a lost network does."""

import socket
import threading
from contextlib import suppress


class CuttingProxy:
    """Every connection passes on `budgets[n]` bytes of what is sent, then breaks; further ones are whole."""

    def __init__(self, port: int, budgets: list[int]) -> None:
        self._to, self._budgets = port, budgets
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server = socket.create_connection(("127.0.0.1", self._to))
        threading.Thread(target=self._back, args=(server, client), daemon=True).start()
        sent = 0
        with suppress(OSError):
            while data := client.recv(65536):
                sent += len(data)
                # Small requests are let through: what breaks is a body under way.
                if self._budgets and sent > 100_000 and sent > self._budgets[0]:
                    self._budgets.pop(0)
                    self.cuts += 1
                    break
                server.sendall(data)
        for end in (client, server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _back(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(65536):
                client.sendall(data)
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
