"""Installed code that reads files natively, unseen by Python: by the names that it counts by.

A table of packages; of each, what is given a path, what runs SQL, and what gives a connection.
"""

from __future__ import annotations

import enum
from functools import lru_cache

__all__ = ["COMMON", "CONCERN", "Role", "known_as", "role_of"]


class Role(enum.Enum):
    """What a function or class does with what it is called with."""

    READER = "reads the file at a path"
    FETCHER = "opens files by Python, but URLs by itself"
    QUERY = "runs SQL, in which files may be named"
    DATABASE = "opens a database at a path and gives a connection"
    OPENER = "gives a file or buffer that Python has opened"
    TEMPORARY = "gives a fresh place for files"


# Of packages with many readers, and as methods of what nobody knows: these names say it all.
COMMON = frozenset(
    [
        *("read_csv", "read_parquet", "read_feather", "read_orc", "read_hdf", "read_json"),
        *("read_table", "read_pandas", "read_schema", "read_metadata", "open_csv", "read_text"),
        *("read_ipc", "read_ipc_stream", "read_ipc_schema", "read_parquet_schema", "read_ndjson"),
        *("read_parquet_metadata", "read_avro", "read_excel", "read_ods", "read_delta"),
        *("read_lines", "scan_lines", "scan_csv", "scan_parquet", "scan_ipc", "scan_ndjson"),
        *("scan_delta", "scan_iceberg", "from_parquet", "from_csv_auto", "read_dataframe"),
        *("open_dataset", "open_mfdataset", "open_dataarray", "open_zarr", "load_dataset"),
    ]
)
_ARROW = frozenset(
    [
        *("dataset", "parquet_dataset", "ParquetFile", "ParquetDataset", "ORCFile", "OSFile"),
        *("memory_map", "MemoryMappedFile", "input_stream", "open_file", "open_stream"),
        *("open_input_file", "open_input_stream"),
    ]
)
_READERS: dict[str, frozenset[str]] = {
    "pyarrow": COMMON | _ARROW,
    "polars": COMMON,
    "duckdb": COMMON,
    "pandas": frozenset({"read_parquet", "read_feather", "read_orc", "read_hdf", "HDFStore"}),
    "fastparquet": frozenset({"ParquetFile"}),
    "h5py": frozenset({"File"}),
    "tables": frozenset({"open_file", "File"}),
    "netCDF4": frozenset({"Dataset", "MFDataset"}),
    "xarray": COMMON | {"open_datatree", "load_dataarray"},
    "zarr": frozenset({"open", "open_group", "open_array", "load"}),
    "geopandas": frozenset({"read_file", "read_parquet", "read_feather", "list_layers"}),
    "pyogrio": frozenset({"read_dataframe", "read_arrow", "read_info", "list_layers"}),
    "fiona": frozenset({"open"}),
    "rasterio": frozenset({"open"}),
    "cv2": frozenset({"imread", "imreadmulti", "VideoCapture", "FileStorage"}),
    "SimpleITK": frozenset({"ReadImage"}),
    "soundfile": frozenset({"read", "info", "blocks", "SoundFile"}),
    "safetensors": frozenset({"safe_open", "load_file"}),
    "tokenizers": frozenset({"from_file"}),
    "onnxruntime": frozenset({"InferenceSession"}),
    "faiss": frozenset({"read_index"}),
    "xgboost": frozenset({"load_model"}),
    "pyreadstat": frozenset({"read_sas7bdat", "read_sav", "read_dta", "read_por"}),
    "deltalake": frozenset({"DeltaTable"}),
    "lance": frozenset({"dataset"}),
}
_QUERIES = frozenset({"sql", "query", "execute", "executemany", "from_query", "SQLContext"})
_ATTACHING = frozenset({"execute", "executescript", "executemany"})
_QUERIED = frozenset({"duckdb", "polars"})
_EXACT = {
    "duckdb.connect": Role.DATABASE,
    "sqlite3.connect": Role.DATABASE,
    "tempfile.mkdtemp": Role.TEMPORARY,
    "tempfile.mkstemp": Role.TEMPORARY,
    "tempfile.TemporaryDirectory": Role.TEMPORARY,
    "tempfile.NamedTemporaryFile": Role.TEMPORARY,
    "pyarrow.BufferReader": Role.OPENER,
    "pyarrow.py_buffer": Role.OPENER,
    "io.open": Role.OPENER,
    "io.BytesIO": Role.OPENER,
    "io.StringIO": Role.OPENER,
    "gzip.open": Role.OPENER,
    "bz2.open": Role.OPENER,
    "lzma.open": Role.OPENER,
}
# Where extension modules have what people know under another name.
_HOMES = {"_duckdb": "duckdb", "_io": "io", "builtins": "io", "_sqlite3": "sqlite3"}


def known_as(name: str) -> str:
    """The package and the last name of what counts by a dotted name."""
    package, _, rest = name.partition(".")
    return f"{_HOMES.get(package, package)}.{rest.rpartition('.')[2]}".rstrip(".")


@lru_cache(maxsize=8192)
def role_of(name: str) -> Role | None:
    """What the installed thing that counts by the dotted `name` does; None: nothing with files."""
    known = known_as(name)
    package, _, attribute = known.partition(".")
    exact = _EXACT.get(known)
    if exact is not None:
        return exact
    if attribute in _READERS.get(package, ()):
        return Role.READER
    if package in _QUERIED and attribute in _QUERIES:
        return Role.QUERY
    if package == "sqlite3" and attribute in _ATTACHING:
        return Role.QUERY
    if package == "pandas" and attribute.startswith("read_"):
        return Role.FETCHER
    return None


# Who reaches none of these reads nothing unseen.
CONCERN = frozenset({Role.READER, Role.QUERY, Role.DATABASE, Role.FETCHER})
