//! The macro that declares mappings with fixed keys. The declarations are in `keys`.

/// Declares a mapping with fixed keys: its type, reader, schema and list of keys.
///
/// A key is a line `name: Type,` with its documentation and, in this order, any of these attributes:
/// - `#[default(..)]`: the documented default
/// - `#[check(..)]`: a function that returns an error if a value is out of range
/// - `#[secret]`: `/config` hides the value
/// - `#[schemars(..)]`: additions to its JSON Schema
///
/// `name as "other"` declares a key whose name in YAML differs from its field. `..name: Type` adds the keys of another
/// mapping. Each key becomes a [`Field`](crate::config::keys::read::Field).
macro_rules! mapping {
    (
        $(#[$type_attribute:meta])*
        struct $name:ident {
            $(
                $(#[doc = $doc:tt])*
                $(#[default($($default:tt)+)])?
                $(#[check($check:expr)])?
                $(#[secret $($secret:literal)?])?
                $(#[schemars($($schema:tt)+)])?
                $key:ident $(as $written:literal)?: $kind:ty,
            )*
            $(..$rest:ident: $rest_kind:ty,)?
        }
    ) => {
        #[derive(Debug, Default, PartialEq, schemars::JsonSchema)]
        #[schemars(deny_unknown_fields)]
        $(#[$type_attribute])*
        pub(super) struct $name {
            $(
                $(#[doc = $doc])*
                $(#[schemars(extend("default" = $($default)+))])?
                $(#[schemars($($schema)+)])?
                #[schemars(default $(, rename = $written)?)]
                pub(super) $key: $crate::config::keys::read::Field<$kind>,
            )*
            $(#[schemars(flatten)] pub(super) $rest: $rest_kind,)?
        }

        impl $crate::config::keys::read::Mapping for $name {
            fn keys() -> Vec<&'static str> {
                let keys = [$($crate::config::keys::mapping::written!($key $($written)?)),*].into_iter();
                $(let keys = keys.chain(<$rest_kind>::keys());)?
                keys.collect()
            }

            fn has(key: &str) -> bool {
                matches!(key, $($crate::config::keys::mapping::written!($key $($written)?))|*)
                    $(|| <$rest_kind>::has(key))?
            }

            fn set_keys(&self) -> impl Iterator<Item = &'static str> {
                let keys = [$(
                    ($crate::config::keys::mapping::written!($key $($written)?), self.$key.get().is_some())
                ),*].into_iter();
                let set = keys.filter_map(|(key, is_set)| is_set.then_some(key));
                $(let set = set.chain(self.$rest.set_keys());)?
                set
            }

            fn take(
                entries: &mut $crate::config::keys::read::Entries,
                at: $crate::config::problems::At<'_>,
            ) -> Self {
                Self {
                    $(
                        $key: {
                            let key = $crate::config::keys::mapping::written!($key $($written)?);
                            entries.take(key, at)$(.check(at.key(key), $check))?
                        },
                    )*
                    $($rest: <$rest_kind>::take(entries, at),)?
                }
            }
        }

        impl $crate::config::keys::read::Key for $name {
            fn read(
                node: $crate::config::yaml::Node,
                at: $crate::config::problems::At<'_>,
            ) -> Option<Self> {
                $crate::config::keys::read::mapping(node, at)
            }

            fn schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                generator.subschema_for::<Self>()
            }

            fn secret_keys() -> Vec<&'static str> {
                let mut keys = Vec::new();
                $(
                    let marks: &[&str] = &[$(stringify!(secret $($secret)?))?];
                    keys.extend(marks.iter().map(|_| $crate::config::keys::mapping::written!($key $($written)?)));
                    keys.extend(<$kind as $crate::config::keys::read::Key>::secret_keys());
                )*
                $(keys.extend(<$rest_kind as $crate::config::keys::read::Key>::secret_keys());)?
                keys
            }
        }
    };
}

/// The name of a key in YAML.
macro_rules! written {
    ($key:ident) => {
        stringify!($key)
    };
    ($key:ident $written:literal) => {
        $written
    };
}

pub(in crate::config) use {mapping, written};
