# Stands for the poll of sockets: what one waits for is always there.
POLLIN, POLLOUT, POLLERR, POLLHUP = 1, 4, 8, 16


class poll:
    def register(self, thing, events):
        self._found = [(thing, events)]

    def poll(self, timeout):
        return self._found
