import pytest

from tracktokens.transforms.listing.partitions import partition_values


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("/data/year=1999/part-0.parquet", {"year": b"1999"}),
        ("gs://bucket/data/artist=AC%2FDC/year=1980/part-0.parquet", {"artist": b"AC/DC", "year": b"1980"}),
        ("/data/title=a=b%3Dc/x.csv", {"title": b"a=b=c"}),
        ("/data/ti%74le=1+1/x.csv", {"title": b"1+1"}),
        ("/data/year=__HIVE_DEFAULT_PARTITION__/album=/x.csv", {"year": None, "album": None}),
        ("/data/year=%5F_HIVE_DEFAULT_PARTITION__/x.csv", {"year": None}),
        ("/data/artist=Beyonc%C3%A9/x.csv", {"artist": "Beyoncé".encode()}),
        ("/data/artist=Beyonc\udce9/x.csv", {"artist": b"Beyonc\xe9"}),
        ("/data/year=1/year=2/x.csv", {"year": b"2"}),
        ("/data/=x/plain/year=1999.csv", {}),
    ],
)
def test_folders_name_columns_and_values(path, values):
    assert partition_values(path) == values
