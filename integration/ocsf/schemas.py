"""Print the JSON Schemas of OCSF classes, as {"version": {"class": schema}}.

Arguments: versions, then --, then class ids.
"""

import json
import sys

from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

split = sys.argv.index("--")
printed = {}
for version in sys.argv[1:split]:
    ocsf = OcsfJsonSchemaEmbedded(get_ocsf_schema(version=version))
    printed[version] = {
        uid: ocsf.get_class_schema(ocsf.lookup_class_name_from_uid(int(uid)), [])
        for uid in sys.argv[split + 1 :]
    }
json.dump(printed, sys.stdout)
