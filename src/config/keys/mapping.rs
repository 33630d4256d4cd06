//! How a mapping with fixed keys is declared and read; which there are is said in `raw`.

/// Declares a mapping with fixed keys: the type, its reader, its schema and the list of its keys, from one text.
///
/// With `..`, the keys of another mapping stand beside its own; with `as`, a key is written otherwise than its field is
/// called.
macro_rules! mapping {
    (
        $(#[$type_attribute:meta])*
        struct $name:ident {
            $($(#[$attribute:meta])* $key:ident $(as $written:literal)?: $kind:ty,)*
            $(..$rest:ident: $rest_kind:ty,)?
        }
    ) => {
        #[derive(Debug, Default, schemars::JsonSchema)]
        #[schemars(deny_unknown_fields)]
        $(#[$type_attribute])*
        pub(in crate::config) struct $name {
            $(
                $(#[$attribute])*
                #[schemars(default $(, rename = $written)?)]
                pub(in crate::config) $key: $crate::config::keys::value::Given<$kind>,
            )*
            $(#[schemars(flatten)] pub(in crate::config) $rest: $rest_kind,)?
            /// Keys that do not exist.
            #[schemars(skip)]
            pub(in crate::config) unknown: Vec<Box<str>>,
        }

        impl $name {
            /// Every key, in the order of their documentation.
            pub(in crate::config) fn keys() -> Vec<&'static str> {
                let own = [$($crate::config::keys::mapping::written!($key $($written)?)),*];
                let rest: Vec<&'static str> = Vec::new() $(.into_iter().chain(<$rest_kind>::keys()).collect())?;
                own.into_iter().chain(rest).collect()
            }

            /// Puts a value to its key, or gives back the value of a key that does not exist. The first of several counts.
            fn put(&mut self, key: &str, value: $crate::config::yaml::Node) -> Option<$crate::config::yaml::Node> {
                match key {
                    $($crate::config::keys::mapping::written!($key $($written)?) => {
                        if self.$key.is_nothing() {
                            self.$key = $crate::config::keys::value::Given::read(value);
                        }
                        None
                    })*
                    _ => {
                        $(let value = self.$rest.put(key, value)?;)?
                        Some(value)
                    }
                }
            }
        }

        impl $crate::config::keys::value::Leaf for $name {
            fn read(node: $crate::config::yaml::Node) -> Result<Self, String> {
                let mut mapping = Self::default();
                for (key, value) in $crate::config::keys::value::entries(node)? {
                    if mapping.put(&key, value).is_some() {
                        mapping.unknown.push(key);
                    }
                }
                Ok(mapping)
            }

            fn schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                generator.subschema_for::<Self>()
            }
        }
    };
}

/// A key as it is written.
macro_rules! written {
    ($key:ident) => {
        stringify!($key)
    };
    ($key:ident $written:literal) => {
        $written
    };
}

pub(in crate::config) use {mapping, written};
