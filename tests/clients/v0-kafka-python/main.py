"""kafka-python 2.3.3 as before a broker of 0.9: Produce 1, Fetch 1, ListOffsets 0, message format v0."""

import cases
from old_kafka_python import Library


class LibraryV0(Library):
    lacks = Library.lacks | {"seek-time"}

    def __init__(self, bootstrap):
        super().__init__(bootstrap, (0, 9), has_timestamps=False)


cases.main(LibraryV0)
