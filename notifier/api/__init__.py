"""The door for commands: HTTP with JSON on a unix socket, for those whom the socket's file lets in.

asked: what a request asks for · routes: one handler for each thing that may be asked · told: what is only read, as JSON
· place: where the socket is · door: the socket. What is asked for is done by the operations, what is read comes from
the store; here it is only understood, carried and answered. Nothing is imported here: a command needs `place` alone,
and not a server.
"""
