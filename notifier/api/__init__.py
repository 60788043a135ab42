"""The API for commands: HTTP with JSON on a unix socket; the mode of the socket's file decides who may connect.

routes: what may be asked where · parse: what a request asks for · render: reports and errors as JSON · socket_path:
where the socket is · server: the socket. The operations carry requests out, and reports come from the store; here
requests are only parsed, passed on and answered. Nothing is imported here: a command needs `socket_path` alone, no
server.
"""
