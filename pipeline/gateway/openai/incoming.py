"""What every request of this API brings: a key in its Authorization header, and often a JSON body."""

from typing import Annotated, TypeVar

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from pipeline.gateway.dialect import ApiError

ModelT = TypeVar("ModelT", bound=BaseModel)

_bearer = HTTPBearer(auto_error=False, description="An API key, where the gateway asks for one.")


async def _key(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> str | None:
    return credentials.credentials if credentials else None


Key = Annotated[str | None, Depends(_key)]
"""The key that a request shows; what it is worth, the gate knows."""


async def read_json(request: Request) -> object:
    """The decoded body; raises ApiError (400). How large it may be, the gateway has checked before."""
    try:
        return from_json(await request.body())
    except ValueError as error:
        raise ApiError(400, f"We could not parse the JSON body of your request: {error}.") from error


def checked(model: type[ModelT], value: object) -> ModelT:
    """`value` as `model`; raises ApiError (400) that names the first parameter at fault."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    param = ".".join(str(step) for step in first["loc"][:4])[:200] or None
    if first["type"] == "missing":
        raise ApiError(400, f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")
    raise ApiError(400, f"Invalid value for '{param or 'body'}': {first['msg']}.", param=param, code="invalid_value")
