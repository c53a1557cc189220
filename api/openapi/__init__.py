"""The OpenAPI 3.1 document of this interface, built from the shapes that answers are encoded from."""

from api.openapi.document import document, document_bytes

__all__ = ["document", "document_bytes"]
