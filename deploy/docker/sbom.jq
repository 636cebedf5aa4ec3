# What an image consists of, as CycloneDX 1.6. Input: lines of name, version, licence, and what a package URL begins with.
def component: split("\t") as [$name, $version, $licence, $url]
  | (if $url == "" then null else "\($url)@\($version | @uri)" end) as $purl
  | {type: "library", "bom-ref": ($purl // "\($name)@\($version)"), $name, $version}
  + (if $licence == "" then {} else {licenses: [{expression: $licence}]} end)
  + (if $purl then {$purl} else {} end);
{
  bomFormat: "CycloneDX", specVersion: "1.6", version: 1,
  metadata: {
    timestamp: $time,
    component: {type: "container", "bom-ref": $name, $name, $version, licenses: [{expression: "Apache-2.0"}]}
  },
  components: ([inputs | component] | unique_by(."bom-ref"))
}
