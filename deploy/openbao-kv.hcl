# What the vault may do in a secret store of the kind `openbao`: an engine kv of version 2. The engine is at `secret` and the
# prefix is `credvault`, as docs/configuration.md has them: write other names into every path.
#
#   bao secrets enable -path=secret -version=2 kv
#   bao policy write credvault-secrets deploy/openbao-kv.hcl

path "secret/data/credvault/*"     { capabilities = ["create", "update", "read"] }
path "secret/metadata/credvault/*" { capabilities = ["list", "delete"] }

# Secrets of others that tenants may refer to: one line for each pattern of `adopt`, with `*` where the pattern has the tenant.
# path "secret/data/customers/*" { capabilities = ["read"] }
