// The answer to one HTTPS GET, as much of HTTP/1.1 (RFC 9112) as fetching a small file needs. No sockets.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace mail::relay {

class HttpAnswer {
 public:
  enum class State { more, done, failed };
  /// @param most_octets  longest body; a longer one fails
  explicit HttpAnswer(std::size_t most_octets) : most_(most_octets) {}

  /// Octets of the peer. How the stream is split never changes the outcome.
  State receive(std::string_view octets);
  /// The peer has ended the stream in order: a body without a length is complete.
  State ended();

  State state() const { return state_; }
  int status() const { return status_; }                 ///< 200, 404; 0 before the status line.
  std::string_view media_type() const { return type_; }  ///< Lower case, without parameters.
  std::string_view body() const { return body_; }        ///< When done.
  std::string_view why() const { return why_; }          ///< When failed.

 private:
  enum class Step { status, fields, length, chunk_size, chunk, chunk_end, trailer, to_the_end };
  State fail(std::string_view why);
  bool line(std::string_view text);
  bool status_line(std::string_view text);
  bool field(std::string_view text);
  bool header_done();
  bool chunk_size(std::string_view text);
  bool take_body(std::string_view& octets);

  std::size_t most_;
  State state_ = State::more;
  Step step_ = Step::status;
  int status_ = 0;
  std::string line_, type_, body_, why_;
  std::uint64_t left_ = 0;  // of the body, or of the chunk
  bool has_length_ = false, chunked_ = false;
  std::size_t header_octets_ = 0;
};

}  // namespace mail::relay
