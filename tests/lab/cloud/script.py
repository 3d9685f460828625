"""What a double is told to do instead of behaving: rules that match requests and pick a fault."""

import re
import threading


class Rule:
    """See Script.on."""

    def __init__(self, method, path, do, nth, times, where):
        self.method = method
        self.path = re.compile(path)
        self.do = do
        self.nth = {nth} if isinstance(nth, int) else nth
        self.times = times
        self.where = where
        self.seen = 0  # requests that matched method, path and where
        self.hits = 0  # those of them that got the fault

    def matches(self, request):
        return (
            self.method in ("*", request.method)
            and self.path.search(request.target)
            and (self.where is None or self.where(request))
        )

    def take(self, request):
        if not self.matches(request):
            return False
        self.seen += 1
        if self.nth is not None and self.seen not in self.nth:
            return False
        if self.times is not None and self.hits >= self.times:
            return False
        self.hits += 1
        return True


class Script:
    """The rules of one server, oldest first; the first that takes a request decides."""

    def __init__(self):
        self._rules = []
        self._lock = threading.Lock()

    def on(self, method, path, do, *, nth=None, times=None, where=None):
        """Answer requests by the fault `do` (see faults.py).

        method: "GET", … or "*". path: a regular expression searched in the target.
        nth: the 1-based number, or a collection of them, among the matching requests. times: at
        most so many. where: a further predicate on the Request. Returns the rule, whose .hits
        counts.
        """
        rule = Rule(method, path, do, nth, times, where)
        with self._lock:
            self._rules.append(rule)
        return rule

    def clear(self):
        with self._lock:
            self._rules.clear()

    def pick(self, request):
        with self._lock:
            for rule in self._rules:
                if rule.take(request):
                    return rule.do
        return None
