"""Authentication: who sends a request.  Knows neither Flask nor ZeroMQ.

``build.build_authenticator(...)`` makes an ``Authenticator`` from the settings; its ``authenticate(...)`` takes the
``Authorization`` header and the query's ``link`` and returns a ``Caller`` or raises an ``AuthError``.
"""
