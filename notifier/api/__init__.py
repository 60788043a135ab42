"""The API for commands: HTTP with JSON on a unix socket, for those whom the socket's file lets in.

routes: what may be asked where · parse: what a request asks for · render: reports and errors as JSON · socket_path:
where the socket is · server: the socket. The operations do what is asked for, and reports come from the store; here it
is only understood, passed on and answered. Nothing is imported here: a command needs `socket_path` alone, no server.
"""
