"""What the servers for tests share: a thread that accepts, and one for each connection."""
import os
import socket
import threading


def listen(address="127.0.0.1", port=0):
    """A TCP socket that listens; on a port that nobody has, where none is named."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
        listener.listen(64)
    except OSError:
        listener.close()
        raise
    return listener


def listen_unix(path):
    """The same at a path; whoever runs the programs may connect."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    os.chmod(path, 0o666)
    listener.listen(64)
    return listener


def serve(listener, talk):
    """Has talk(connection) called in a thread of its own for each connection that comes, until close(listener)."""
    def one(connection):
        try:
            with connection:
                talk(connection)
        except (OSError, ValueError):
            pass  # the peer went, or the test closed the connection

    def accept():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=one, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def close(listener):
    """Also where a thread waits in accept(), which keeps a socket that is only closed open until one more connection has come."""
    try:
        listener.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    listener.close()
