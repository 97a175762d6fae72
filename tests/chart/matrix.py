"""Values that the chart is tested with: from none at all to every one of them."""

from typing import Any

__all__ = ["EVERYTHING", "MATRIX", "OWN_STORE"]

OWN_STORE: dict[str, Any] = {
    "minio": {"enabled": False},
    "s3": {
        "endpoint": "https://s3.example.org:8443",
        "podEndpoint": "http://s3.internal",
        "existingSecret": "bucket",
        "cidrs": ["10.1.0.0/16"],
    },
}
EVERYTHING: dict[str, Any] = {
    **OWN_STORE,
    "image": {"registry": "registry.example.org/podbook/", "tag": "1.2.3", "pullSecrets": ["pull"]},
    "keys": {"existingSecret": "api-keys"},
    "links": {"existingSecret": "link-secret"},
    "runs": {"namespace": "notebooks", "quota": {"pods": "100"}, "networkPolicy": {"extraEgress": [{"ports": [{"port": 5432}]}]}},
    "profiles": {
        "default": {"runner": "lean"},
        "big": {
            "image": "registry.example.org/big:1",
            "resources": {"limits": {"memory": "64Gi"}},
            "nodeSelector": {"size": "big"},
            "tolerations": [{"operator": "Exists"}],
            "envFromSecrets": ["database"],
            "queue": "batch",
            "allowed": {"keys": ["ci"], "notebooks": ["analysis"]},
        },
    },
    "operator": {
        "nodeSelector": {"a": "b"},
        "tolerations": [{"operator": "Exists"}],
        "priorityClassName": "high",
        "settings": {"RESYNC_SECONDS": 6_000_000, "LOG_LEVEL": "debug"},
    },
    "api": {
        "replicas": 5,
        "service": {"type": "NodePort", "nodePort": 30080},
        "ingress": {
            "enabled": True,
            "className": "nginx",
            "hosts": ["podbook.example.org"],
            "tls": [{"hosts": ["podbook.example.org"]}],
        },
        "nodeSelector": {"a": "b"},
        "settings": {"LOG_LEVEL": "DEBUG", "CORS_ORIGINS": ["https://app.example.org", "https://example.org"]},
    },
    "networkPolicy": {
        "apiFrom": [{"podSelector": {}}],
        "dnsNamespaces": ["openshift-dns"],
        "extraEgress": [{"to": [{"ipBlock": {"cidr": "10.9.0.0/16"}}], "ports": [{"port": 8443}]}],
    },
    "metrics": {"serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}},
    "examples": {"enabled": True, "keySecret": "publisher"},
}
MATRIX: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "nothing kept": {"minio": {"persistence": {"enabled": False}}, "crds": {"keep": False}},
    "no policies": {"networkPolicy": {"enabled": False}, "runs": {"networkPolicy": {"enabled": False}, "createNamespace": False}},
    "amazon": {"minio": {"enabled": False}, "api": {"serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn"}}}},
    "keys in values": {"minio": {"enabled": False}, "s3": {"accessKey": "a", "secretKey": "b"}},
    "examples": {"examples": {"enabled": True}, "metrics": {"serviceMonitor": {"enabled": True}}},
    "own store": OWN_STORE,
    "everything": EVERYTHING,
}
