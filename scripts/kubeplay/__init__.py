"""The chart without a cluster: its manifests, translated for ``podman kube play``."""
