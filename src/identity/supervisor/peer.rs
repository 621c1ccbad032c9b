//! Who is at the other end of a socket: SO_PEERCRED and SO_PEERGROUPS of socket(7), unix(7).

use nix::errno::Errno;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};

use super::create::socket_of;
use super::process;
use super::worker::{Answer, Call, DONE, Refusal};
use crate::identity::table;
use crate::sys::remote;

/// Answers with the credentials that the peer has now: those that it had when it connected are not kept.
pub(super) fn answer(call: &Call<'_>) -> Result<Answer, Refusal> {
    let Ok(socket) = socket_of(call, call.number(0)) else { return Ok(Answer::Proceed) };
    let Ok(peer) = getsockopt(&socket, PeerCredentials) else { return Ok(Answer::Proceed) };
    let Ok((limit, _)) = remote::limit(peer.pid(), table::RESOURCE) else { return Ok(Answer::Proceed) };
    let credentials = call.worker.shared.table.credentials(limit);
    let room_at = call.argument(4);
    let mut room = [0; 4];
    call.read(room_at, &mut room)?;
    let room = usize::try_from(i32::from_ne_bytes(room)).map_err(|_| Errno::EINVAL)?;
    if call.number(2) != libc::SO_PEERCRED {
        let groups: Vec<u8> = credentials.supplementary.iter().flat_map(|group| group.to_ne_bytes()).collect();
        call.write(room_at, &(groups.len() as i32).to_ne_bytes())?;
        if groups.len() > room {
            return Err(Errno::ERANGE.into());
        }
        if !groups.is_empty() {
            call.write(call.argument(3), &groups)?;
        }
        return Ok(DONE);
    }
    let (uid, gid) = (credentials.users.effective, credentials.groups.effective);
    if (uid, gid) == (0, 0) {
        return Ok(Answer::Proceed);
    }
    let mut bytes = [0; 12];
    for (part, word) in bytes.chunks_exact_mut(4).zip([process::number_inside(peer.pid())? as u32, uid, gid]) {
        part.copy_from_slice(&word.to_ne_bytes());
    }
    let bytes = &bytes[..room.min(12)];
    call.write(call.argument(3), bytes)?;
    call.write(room_at, &(bytes.len() as i32).to_ne_bytes())?;
    Ok(DONE)
}
