"""Where the cluster is, and as whom to speak to it: the pod's service account, else the kubeconfig."""

import os
import ssl
from pathlib import Path

from kubernetes.aio.client.api_client import ApiClient
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from podbook_cluster.errors import NoClusterError

__all__ = ["Configuration", "find_configuration", "in_cluster", "tls_of"]

_TOKEN = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


def in_cluster() -> bool:
    """Whether this runs in a pod whose service account is to be used."""
    return _TOKEN.exists() and "KUBECONFIG" not in os.environ


async def find_configuration() -> Configuration:
    """The configuration in effect: the pod's service account, or ``$KUBECONFIG`` where that is set or there is no such account.

    Nothing is sent to the cluster.

    Raises:
        NoClusterError: there is none that can be used.
    """
    configuration = Configuration()
    try:
        if in_cluster():
            load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call] # the library's
        else:
            # The library reads $KUBECONFIG when it is imported; here it is read now.
            where = os.environ.get("KUBECONFIG")
            await load_kube_config(config_file=where, client_configuration=configuration)  # type: ignore[no-untyped-call]
        tls_of(configuration)  # a certificate that cannot be read is a fault of the configuration, too
    except (ConfigException, OSError) as error:
        why = str(error)
    except Exception as error:  # noqa: BLE001 - whatever YAML and wrong shapes in the file lead to, the library lets through
        why = f"the file cannot be parsed ({type(error).__name__}: {' '.join(str(error).split())[:200]})"
    else:
        return configuration
    raise NoClusterError(f"there is no usable configuration for a cluster: {why}; set KUBECONFIG, or run this in a pod")


def tls_of(configuration: Configuration) -> ssl.SSLContext:
    """The TLS context of a configuration: its authority, and its client certificate where it has one."""
    context: ssl.SSLContext = ApiClient(configuration).rest_client.ssl_context
    return context
