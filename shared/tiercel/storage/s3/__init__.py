"""
Internal storage in a bucket of MinIO, AWS S3 or what speaks their protocol.

    settings.py   what the operator decides
    client.py     the connection: threads, waiting, the check at start
    failure.py    what an answer of the store means, in a sentence with its remedy
    upload.py     contents into the bucket, several parts at a time
    download.py   and out of it
    metadata.py   notes with a file, as headers
    storage.py    the port: files and folders over keys
"""
