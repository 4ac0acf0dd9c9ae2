"""Answers to requests that cannot be served: a status and a sentence that says what to do."""

import errno
import sqlite3

from absl import logging
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
_NOT_STORED = 'nothing was stored by this request'


def error_answer(status: int, sentence: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """The answer {"error": sentence}."""
    return JSONResponse({'error': sentence}, status, headers)


def try_again(status: int, sentence: str, seconds: float) -> JSONResponse:
    """As `error_answer`, and in how many seconds to ask again."""
    wait = str(max(1, round(seconds + 0.5)))
    return error_answer(status, f'{sentence}: ask again in {wait} s', {'Retry-After': wait})


def add_error_answers(app: FastAPI) -> None:
    """Makes an application explain every error; what it cannot explain is in the server's log."""
    app.add_exception_handler(RequestValidationError, _explain_fields)
    app.add_exception_handler(HTTPException, _explain_http)
    app.add_exception_handler(ClientDisconnect, _explain_disconnect)
    app.add_exception_handler(ValueError, _explain_value)
    app.add_exception_handler(OSError, _explain_system)
    app.add_exception_handler(sqlite3.Error, _explain_database)
    app.add_exception_handler(MemoryError, _explain_memory)
    app.add_exception_handler(Exception, _explain_failure)


def _explain_fields(_: Request, error: RequestValidationError) -> JSONResponse:
    wrong = [
        f'{".".join(str(part) for part in each["loc"][1:]) or each["loc"][0]}: {each["msg"]}'
        for each in error.errors()
    ]
    return error_answer(422, '; '.join(wrong))


def _explain_http(_: Request, error: HTTPException) -> JSONResponse:
    sentence = {
        404: 'there is nothing at this address; /api/openapi.json lists what there is',
        405: 'this address takes another method; /api/openapi.json says which',
    }.get(error.status_code, str(error.detail))
    return error_answer(error.status_code, sentence, error.headers)


def _explain_disconnect(_: Request, __: ClientDisconnect) -> JSONResponse:
    return error_answer(400, 'the connection ended before the request had arrived')


def _explain_value(_: Request, error: ValueError) -> JSONResponse:
    return error_answer(400, str(error))


def _explain_system(_: Request, error: OSError) -> JSONResponse:
    if isinstance(error, FileNotFoundError):
        return error_answer(404, str(error))
    if error.errno in _DISK_FULL:
        return error_answer(503, f'the disk is full, and {_NOT_STORED}: free space and repeat it')
    return error_answer(503, str(error))


def _explain_database(_: Request, error: sqlite3.Error) -> JSONResponse:
    logging.error('gallery: %s', error)
    return error_answer(503, f'gallery: {error}; {_NOT_STORED}: repeat it later')


def _explain_memory(_: Request, __: MemoryError) -> JSONResponse:
    return error_answer(503, f'the server is out of memory, and {_NOT_STORED}: repeat it later')


def _explain_failure(_: Request, __: Exception) -> JSONResponse:
    return error_answer(500, 'the server failed at this request: its log says why')
