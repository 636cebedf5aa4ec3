"""Kubernetes' manifests for tests: `manifests.py json` prints those on stdin as JSON, one a line; `manifests.py validate
VERSION...` checks them against the schemas of these versions, strictly, and prints what is wrong."""

import json
import sys

import yaml

documents = [document for document in yaml.safe_load_all(sys.stdin) if document]
if sys.argv[1] == "json":
    for document in documents:
        print(json.dumps(document))
else:
    import kubernetes_validate

    failed = False
    for version in sys.argv[2:]:
        for document in documents:
            name = f"{document.get('kind')}/{document.get('metadata', {}).get('name')}"
            try:
                kubernetes_validate.validate(document, version, strict=True)
            except kubernetes_validate.ValidationError as error:
                failed = True
                print(f"{name} ({version}): {error.message} at {list(error.path)}")
    sys.exit(failed)
