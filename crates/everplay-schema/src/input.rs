use crate::decode::{Decoder, Value};
use crate::handshake::Generation;
use crate::replica::Replica;
use crate::restore::{Load, RestoreError, Stored};
use crate::structure::{State, StructSlot};
use crate::types::{FieldSpec, Kind, Modifiers, TypeTable};
use std::sync::Arc;

/// Reads what one client sends of an input type: patches of a struct of primitives, root only.
///
/// The values of fields that a patch does not name are those of the patch before, as the SDK means it; an empty
/// payload repeats them all.
#[derive(Debug)]
pub struct InputReader<S: State> {
    stored: Stored,
    types: Arc<TypeTable>,
    input: std::marker::PhantomData<fn() -> S>,
}

/// Why a type cannot be an input.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("field {field:?} of an input is not a primitive")]
pub struct InputTypeError {
    /// The field.
    pub field: String,
}

impl<S: State> InputReader<S> {
    /// A reader for a new connection: every field has its default.
    ///
    /// Errors: a field is not a primitive, so that no SDK can send it.
    pub fn new() -> Result<Self, InputTypeError> {
        let types = S::table();
        let fields = &types.get(0).fields;
        if let Some(field) = fields.iter().find(|field| !matches!(field.kind, Kind::Prim(_))) {
            return Err(InputTypeError { field: field.name.clone() });
        }
        let handshake = Replica::<S>::handshake(Generation::Schema5);
        let decoder = Decoder::from_handshake(&handshake).expect("our decoder reads our handshakes");
        Ok(Self { stored: Stored::over(decoder), types, input: std::marker::PhantomData })
    }

    /// Applies one input's payload and answers the input. Errors: the payload is not a patch of the type; the
    /// connection it came from should be closed.
    pub fn read(&mut self, payload: &[u8]) -> Result<S, RestoreError> {
        self.stored.decoder.apply(payload)?;
        let mut input = S::default();
        let mut slot = StructSlot::default();
        let root = FieldSpec {
            name: "input".to_owned(),
            index: 0,
            kind: Kind::Struct(0),
            modifiers: Modifiers::default(),
            views_below: false,
            plain: true,
        };
        let mut load = Load::new(&self.types, &self.stored, 0);
        load.structure(&mut input, &mut slot, &root, &Value::Ref(0))?;
        Ok(input)
    }
}
