# What the vault may do with its root key in OpenBao's or Vault's engine transit. The key is `credvault` and the engine is at
# `transit`, as docs/configuration.md has them: write other names into every path.
#
#   bao secrets enable transit
#   bao write -f transit/keys/credvault type=aes256-gcm96
#   bao policy write credvault deploy/openbao-transit.hcl

# Not `create`: a key that is lost would be made anew without a word.
path "transit/encrypt/credvault" { capabilities = ["update"] }
path "transit/decrypt/credvault" { capabilities = ["update"] }
path "transit/keys/credvault"    { capabilities = ["read"] }

# For `credvault keys rotate-root --new-version`.
path "transit/keys/credvault/rotate" { capabilities = ["update"] }

# For `credvault keys destroy-older-versions`. Leave these out, and no program with the vault's login can end a version.
path "transit/keys/credvault/config" { capabilities = ["update"] }
path "transit/keys/credvault/trim"   { capabilities = ["update"] }
