"""The OpenAPI description of the service."""

from typing import Any

from sentinode.service.images import Limits
from sentinode.version import __version__

_IMAGE = {"schema": {"type": "string", "format": "binary"}}


def describe_service(model: str, limits: Limits, with_token: bool) -> dict[str, Any]:
    """Return the OpenAPI 3.1 description of the service.

    Parameters
    ----------
    model : str
        The name of the model.
    limits : Limits
        What a request may hold.
    with_token : bool
        Whether requests need a bearer token.

    Returns
    -------
    dict
        Ready to be written as JSON.
    """
    images = f"at most {limits.images} images and {limits.body_bytes / 1e6:g} MB"
    predict = {
        "summary": "Predict patches",
        "description": f"Send one image as the body, or several as files of a form: {images} in a request.",
        "requestBody": {
            "required": True,
            "content": {
                "multipart/form-data": {
                    "schema": {
                        "type": "object",
                        "properties": {
                            "image": {"type": "array", "items": {"type": "string", "format": "binary"}},
                        },
                    }
                },
                **{f"image/{kind}": _IMAGE for kind in ("png", "jpeg", "tiff", "webp", "bmp")},
                "application/octet-stream": _IMAGE,
            },
        },
        "responses": {
            "200": _response("One result per image, in order", "Predictions"),
            "400": _response("The body is empty or not a valid form, or the Host header is unknown"),
            "401": _response("The token is missing or wrong"),
            "403": _response("The request comes from a page of another site"),
            "408": _response("The body arrived too slowly"),
            "413": _response("The body, the number of images, or the number of pixels is too large"),
            "422": _response("An image cannot be read, or has another size or kind of pixels"),
            "500": _response("The prediction failed"),
            "503": _response("Too many patches or bytes are queued; try again after the seconds in Retry-After"),
        },
    }
    health = {
        "summary": "Whether the service answers",
        "security": [],
        "responses": {"200": _response("The service is ready", "Health")},
    }
    description: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "Sentinode",
            "version": __version__,
            "description": f"Tumour in lymph-node patches by the model {model}. Research use only.",
        },
        "paths": {"/predict": {"post": predict}, "/health": {"get": health}},
        "components": {"schemas": _SCHEMAS},
    }
    if with_token:
        description["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        description["security"] = [{"token": []}]
    return description


def _response(description: str, schema: str = "Error") -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"description": description, "content": content}


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


_SCHEMAS = {
    "Error": _object(error={"type": "string", "description": "The error, and how to resolve it"}),
    "Health": _object(
        status={"type": "string", "const": "ok"},
        model={"type": "string"},
        version={"type": "string"},
        uptime_s={"type": "number"},
        waiting_patches={"type": "integer"},
    ),
    "Predictions": _object(
        model={"type": "string"},
        threshold={"type": "number", "description": "Least probability of patches that are predicted to be tumour"},
        results={"type": "array", "items": {"$ref": "#/components/schemas/Result"}},
    ),
    "Result": _object(
        name={"type": "string", "description": "File name of the image, or its number"},
        probability={"type": "number", "description": "Calibrated probability of tumour in the central 32 × 32 px"},
        logit={"type": "number", "description": "Calibrated log-odds of tumour"},
        prediction={"type": "integer", "enum": [0, 1], "description": "1: tumour"},
        warning={"type": ["string", "null"], "description": "How the patch differs from the training patches"},
    ),
}
