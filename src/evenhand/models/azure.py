"""Azure OpenAI's deployments: OpenAI's API at other addresses, with another header for the key."""

from __future__ import annotations

import os
from dataclasses import replace

from yarl import URL

from evenhand.errors import ModelError, SpecError
from evenhand.models import completions, responses
from evenhand.models.addresses import checked_address
from evenhand.models.base import MODELS, Model, ModelOptions
from evenhand.models.openai import OpenAIModel

_ENDPOINT = "AZURE_OPENAI_ENDPOINT"
_VERSIONS = ("AZURE_OPENAI_API_VERSION", "OPENAI_API_VERSION")
_KEY, _TOKEN = "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_AD_TOKEN"


class AzureModel(OpenAIModel):
    """A deployment, at its own address where an ``api-version`` is given, else under the resource's ``/openai/v1``."""

    def __init__(self, name: str, options: ModelOptions) -> None:
        if not name:
            raise SpecError("The model 'azure:' has no name.", "Write azure:DEPLOYMENT.")
        given = options.base_url or os.environ.get(_ENDPOINT, "").strip()
        if not given:
            raise SpecError(
                f"No address of Azure's: {_ENDPOINT} is not set.",
                "Export it, or give --base-url https://NAME.openai.azure.com.",
            )
        checked_address(given, "--base-url", "https://NAME.openai.azure.com", variables=True)
        self._is_elsewhere = options.base_url is not None
        variable = _KEY if options.api_key_env == ModelOptions.api_key_env else options.api_key_env
        super().__init__(name, replace(options, base_url=given, api_key_env=variable))
        self.id: str = f"azure:{name}"
        self.base_url: str = str(_root(URL(given), name))

    async def start(self) -> None:
        variable = self.options.api_key_env
        key, token = (os.environ.get(v, "").strip() for v in (variable, _TOKEN))
        if not key and not token and not self._is_elsewhere:
            raise ModelError(
                f"No API key: the environment variable {variable} is not set.",
                f"Export it (or {_TOKEN}), or give --api-key-env.",
            )
        self._open({"api-key": key} if key else {"Authorization": f"Bearer {token}"} if token else {})

    def address(self, path: str) -> URL:
        root = super().address(path)
        if path == responses.PATH and "/deployments/" in root.path:
            return root.with_path(f"{root.path.partition('/deployments/')[0]}/{path}").with_query(root.query)
        return root


def _root(given: URL, deployment: str) -> URL:
    """Where a deployment's API starts; a full address, as Azure's portal shows it, is understood."""
    path = given.path.rstrip("/").removesuffix(f"/{completions.PATH}").rstrip("/")
    query = given.query.copy()
    version = next((os.environ[name] for name in _VERSIONS if os.environ.get(name)), None)
    if "api-version" not in query and version and not path.endswith("/v1"):
        query["api-version"] = version
    if "/deployments/" not in path and not path.endswith("/v1"):
        path = path.removesuffix("/openai")
        path += f"/openai/deployments/{deployment}" if "api-version" in query else "/openai/v1"
    return given.with_path(path).with_query(query)


@MODELS.register("azure")
def azure_model(name: str, options: ModelOptions) -> Model:
    """``azure:DEPLOYMENT``: Azure OpenAI; address from --base-url or $AZURE_OPENAI_ENDPOINT."""
    return AzureModel(name, options)
