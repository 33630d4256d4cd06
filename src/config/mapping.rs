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
        pub(super) struct $name {
            $(
                $(#[$attribute])*
                #[schemars(default $(, rename = $written)?)]
                pub(super) $key: $crate::config::leaf::Given<$kind>,
            )*
            $(#[schemars(flatten)] pub(super) $rest: $rest_kind,)?
            /// Keys that do not exist.
            #[schemars(skip)]
            pub(super) unknown: Vec<Box<str>>,
        }

        impl $name {
            /// Every key, in the order of their documentation.
            pub(super) fn keys() -> Vec<&'static str> {
                let own = [$($crate::config::mapping::written!($key $($written)?)),*];
                let rest: Vec<&'static str> = Vec::new() $(.into_iter().chain(<$rest_kind>::keys()).collect())?;
                own.into_iter().chain(rest).collect()
            }

            /// Puts a value to its key, or gives back the value of a key that does not exist. The first of several counts.
            fn put(&mut self, key: &str, value: $crate::config::node::Node) -> Option<$crate::config::node::Node> {
                match key {
                    $($crate::config::mapping::written!($key $($written)?) => {
                        if self.$key.is_nothing() {
                            self.$key = $crate::config::leaf::Given::read(value);
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

        impl $crate::config::leaf::Leaf for $name {
            fn read(node: $crate::config::node::Node) -> Result<Self, String> {
                let mut mapping = Self::default();
                for (key, value) in $crate::config::leaf::entries(node)? {
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

pub(super) use {mapping, written};
