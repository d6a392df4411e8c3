//! Both ends of one session draw the same bytes from it, and no two sessions the same.

use super::*;
use crate::hello::{Call, HelloError};
use everplay_types::Incarnation;
use tokio::net::TcpListener;

async fn session(securing: &Securing) -> (Binding, Binding) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (caller, callee) = tokio::join!(
        async { securing.secure(TcpStream::connect(address).await.unwrap(), End::Caller).await.unwrap() },
        async { securing.secure(listener.accept().await.unwrap().0, End::Callee).await.unwrap() },
    );
    (caller.1, callee.1)
}

#[tokio::test]
async fn a_proof_is_worth_nothing_in_another_session() {
    let key = ClusterKey::new("the very same key at all three ends").unwrap();
    let securing = Securing::new(&Security::Key(key)).unwrap();
    let (caller, callee) = session(&securing).await;
    let (_, elsewhere) = session(&securing).await;
    let call = Call { caller: Incarnation([1; 16]), callee: Incarnation([2; 16]) };
    let said = call.encode(&caller);
    assert_eq!(Call::decode(&said, &callee), Ok(call));
    // What someone in the middle would have to do: take it from one session to another.
    assert_eq!(Call::decode(&said, &elsewhere), Err(HelloError::WrongKey));
}
