"""The use cases as calls of the REST API, without any input or output; ``Shim`` and ``AsyncShim`` carry them out.

* Each is a generator: it yields what is to be asked, is sent the decoded answer, and returns what it means.
* Answers are read into ``shapes``; what does not fit was not said by signoff.
"""
