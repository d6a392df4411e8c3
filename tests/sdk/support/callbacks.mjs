// Watching the state as the SDKs of 0.17 and 0.18 offer it.

export function watchWith(Callbacks) {
  return (room) => {
    const callbacks = Callbacks.get(room);
    return {
      onAdd: (collection, told) => callbacks.onAdd(collection, told),
      onRemove: (collection, told) => callbacks.onRemove(collection, told),
      listen: (instance, field, told) =>
        instance ? callbacks.listen(instance, field, told) : callbacks.listen(field, told),
    };
  };
}
