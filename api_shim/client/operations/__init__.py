"""The operations of the REST API, without input and output; ``Shim`` and ``AsyncShim`` perform them.

* Each operation is a generator: it yields requests, is sent the decoded answers, and returns the result.
* Answers are validated against ``schemas``; an answer that does not match is not one of signoff's.
"""
