// What delivery looks at and writes in a message's text. Line ends may be CRLF (the spool, LMTP) or LF (a pipe).
#pragma once
#include <string>
#include <string_view>

#include "base/clock.h"

namespace mail::mda {

/// The trace of a message's way, from its header.
struct Trace {
  std::size_t received = 0;  ///< Received fields.
  /// Delivered-To fields with this address that stand below a Received field: an agent that hands us the message may
  /// already have put one on top.
  std::size_t delivered_here = 0;
};
Trace read_trace(std::string_view message, std::string_view address);

/// The fields that a final delivery puts in front: Return-Path (RFC 5321 section 4.4) and Delivered-To, with LF.
std::string delivered_to_field(std::string_view address);
std::string delivery_fields(std::string_view reverse_path, std::string_view delivered_to);
/// The Received field of LMTP, with LF.
struct ReceivedFrom {
  std::string_view helo, client_address, host_name, protocol, id,
      recipient;  ///< `recipient` empty: there were several.
};
std::string received_field(const ReceivedFrom& from, WallTime now);

/// Takes away what stands in front of the header of a message from a pipe: an mbox "From " line and Return-Path fields.
/// `sender` becomes the reverse-path they name, where it is empty.
std::string_view without_envelope_lines(std::string_view message, std::string& sender);

/// LF line ends.
std::string with_lf(std::string_view message);
/// As an entry of an mbox: "From sender date", lines that begin with "From " (behind any number of '>') quoted by one
/// more '>' (mboxrd), a last empty line.
std::string mbox_entry(std::string_view fields, std::string_view message, std::string_view reverse_path, WallTime now);

/// `text` where it may stand in a header field or an environment: control characters removed.
std::string one_line(std::string_view text);

}  // namespace mail::mda
