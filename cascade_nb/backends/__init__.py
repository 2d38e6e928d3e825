"""Where bytes are kept: records under keys, content under CIDs. Backends are dumb and verify none.

Each has two faces: the inner one (`protocols.KeepsBytes` and its optional companions), which raises
`BackendError`, and the public `get` and `set` of `protocols.CacheBackend`, which never fail.
"""
