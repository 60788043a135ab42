"""The door for commands: HTTP with JSON on a unix socket, for those whom the socket's file lets in.

asked: what a request's body says · routes: one handler for each thing that may be asked · place: where the socket is ·
door: the socket. What is asked for is done by the desk; here it is only understood, carried and answered.
"""

from notifier.api.door import Door, obstacle
from notifier.api.place import usual_place
from notifier.api.routes import application

__all__ = ["Door", "application", "obstacle", "usual_place"]
