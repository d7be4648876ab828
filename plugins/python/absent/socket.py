"""The sandbox has no sockets. Modules of the library import this one for its names; whoever opens a socket is told."""
AF_UNSPEC, AF_INET, AF_INET6 = 0, 2, 10
SOCK_STREAM, SOCK_DGRAM = 1, 2
IPPROTO_TCP, TCP_NODELAY, SOL_SOCKET, SO_REUSEADDR, SO_KEEPALIVE = 6, 1, 1, 2, 9
AI_PASSIVE, SHUT_RD, SHUT_WR, SHUT_RDWR = 1, 0, 1, 2
has_ipv6 = False
error = OSError
timeout = TimeoutError
_GLOBAL_DEFAULT_TIMEOUT = object()


class gaierror(OSError):
    pass


class herror(OSError):
    pass


def _refuse(*_args, **_named):
    raise OSError("scripts have no sockets; use uniflow.http")


class socket:
    __init__ = _refuse


create_connection = create_server = socketpair = fromfd = getaddrinfo = getnameinfo = gethostbyname = gethostbyaddr = _refuse


def gethostname():
    return "localhost"


def getfqdn(name=""):
    return name or "localhost"


def getdefaulttimeout():
    return None


def setdefaulttimeout(timeout):
    pass
