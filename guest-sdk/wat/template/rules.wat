;; A validator by hand: a log that takes at most 100 notes. It needs no SDK, and shows what one does.
;;
;; The store looks for functions by these names. Their types follow from the canonical ABI: a text or a
;; list comes as address and length; an answer that is larger than one number is an address of a place
;; where it stands. The store copies it from there, and then calls cabi_post_..., if there is one.
(module
  ;; 0 to 1023: constants; 1024 to 2047: where answers stand; from 4096: memory of a call.
  (memory (export "memory") 2)
  (global $heap (mut i32) (i32.const 4096))
  ;; The state: how many notes there are.
  (global $count (mut i64) (i64.const 0))

  (data (i32.const 512) "notes")
  (data (i32.const 16) "1.0.0")
  (data (i32.const 24) "note")
  (data (i32.const 32) "full")
  (data (i32.const 40) "there are 100 notes already")
  (data (i32.const 72) "unknown-kind")
  (data (i32.const 88) "these rules know notes only")
  (data (i32.const 120) "a snapshot has eight bytes")
  (data (i32.const 152) "these rules answer no queries")

  ;; The store asks for memory here, piece by piece: arguments, and pages of history. It is a pointer that
  ;; moves up, and back again when the call ends.
  (func $alloc (export "cabi_realloc")
      (param $old i32) (param $old_len i32) (param $align i32) (param $len i32) (result i32)
    (local $at i32) (local $short i32)
    (local.set $at (i32.and
      (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
      (i32.sub (i32.const 0) (local.get $align))))
    (global.set $heap (i32.add (local.get $at) (local.get $len)))
    (local.set $short (i32.sub (global.get $heap) (i32.mul (memory.size) (i32.const 65536))))
    (if (i32.gt_s (local.get $short) (i32.const 0)) (then
      ;; Where memory cannot grow, a trap refuses the append.
      (if (i32.eq (i32.const -1) (memory.grow
            (i32.shr_u (i32.add (local.get $short) (i32.const 65535)) (i32.const 16))))
        (then unreachable))))
    (local.get $at))

  (func $end_call (global.set $heap (i32.const 4096)))

  ;; One word of a case, and a text or a list: result<list<u8>, string>, option<list<u8>> and the like.
  (func $answer (param $case i32) (param $at i32) (param $len i32) (result i32)
    (i32.store (i32.const 1024) (local.get $case))
    (i32.store (i32.const 1028) (local.get $at))
    (i32.store (i32.const 1032) (local.get $len))
    (i32.const 1024))

  ;; describe() -> { name, version, kinds: list<{ name, schema: option<string> }> }
  (func (export "atomic-store:validator/rules@1.0.0#describe") (result i32)
    (i32.store (i32.const 1024) (i32.const 512)) (i32.store (i32.const 1028) (i32.const 5)) ;; the name
    (i32.store (i32.const 1032) (i32.const 16))  (i32.store (i32.const 1036) (i32.const 5))
    (i32.store (i32.const 1040) (i32.const 1056)) (i32.store (i32.const 1044) (i32.const 1))
    (i32.store (i32.const 1056) (i32.const 24))  (i32.store (i32.const 1060) (i32.const 4))
    (i32.store (i32.const 1064) (i32.const 0))   ;; no schema
    (i32.const 1024))

  ;; init(scope, config: option<list<u8>>) -> result<_, string>: 0 is ok
  (func (export "atomic-store:validator/rules@1.0.0#init")
    (param $scope i32) (param $scope_len i32) (param $configured i32) (param $config i32) (param i32)
    (result i32)
    (global.set $count (i64.const 0))
    (call $answer (i32.const 0) (i32.const 0) (i32.const 0)))

  ;; restore(scope, config, snapshot) -> result<_, string>
  (func (export "atomic-store:validator/rules@1.0.0#restore")
    (param $scope i32) (param $scope_len i32) (param $configured i32) (param $config i32) (param i32)
    (param $snapshot i32) (param $snapshot_len i32) (result i32)
    (if (i32.ne (local.get $snapshot_len) (i32.const 8))
      (then (return (call $answer (i32.const 1) (i32.const 120) (i32.const 26)))))
    (global.set $count (i64.load align=1 (local.get $snapshot)))
    (call $answer (i32.const 0) (i32.const 0) (i32.const 0)))

  ;; apply(events): each counts. An event is 72 bytes; nothing of it matters here.
  (func (export "atomic-store:validator/rules@1.0.0#apply") (param $events i32) (param $len i32)
    (global.set $count (i64.add (global.get $count) (i64.extend_i32_u (local.get $len))))
    (call $end_call))

  ;; True for the text "note".
  (func $is_note (param $at i32) (param $len i32) (result i32)
    (if (result i32) (i32.eq (local.get $len) (i32.const 4))
      (then (i32.eq (i32.load align=1 (local.get $at)) (i32.load (i32.const 24))))
      (else (i32.const 0))))

  ;; result<list<acceptance>, refusal>: no, with one reason { code, message, data: none, seqs: none }
  (func $refuse (param $index i32) (param $code i32) (param $code_len i32) (param $message i32)
      (param $message_len i32) (result i32)
    (i32.store (i32.const 1024) (i32.const 1))
    (i32.store (i32.const 1028) (local.get $index))
    (i32.store (i32.const 1032) (i32.const 1056)) (i32.store (i32.const 1036) (i32.const 1)) ;; reasons
    (i32.store (i32.const 1040) (i32.const 0))                                               ;; no meta
    (i32.store (i32.const 1056) (local.get $code))    (i32.store (i32.const 1060) (local.get $code_len))
    (i32.store (i32.const 1064) (local.get $message)) (i32.store (i32.const 1068) (local.get $message_len))
    (i32.store (i32.const 1072) (i32.const 0))
    (i32.store (i32.const 1084) (i32.const 0)) (i32.store (i32.const 1088) (i32.const 0))
    (i32.const 1024))

  ;; validate(proposals): a proposal is 64 bytes and begins with its kind. Must not change the state; each
  ;; member of a batch counts for the ones behind it.
  (func (export "atomic-store:validator/rules@1.0.0#validate") (param $at i32) (param $len i32)
    (result i32)
    (local $i i32) (local $proposal i32) (local $acceptances i32)
    (block $all (loop $next
      (br_if $all (i32.eq (local.get $i) (local.get $len)))
      (local.set $proposal (i32.add (local.get $at) (i32.mul (local.get $i) (i32.const 64))))
      (if (i32.eqz (call $is_note (i32.load (local.get $proposal)) (i32.load offset=4 (local.get $proposal))))
        (then (return (call $refuse (local.get $i)
          (i32.const 72) (i32.const 12) (i32.const 88) (i32.const 27)))))
      (if (i64.ge_u (i64.add (global.get $count) (i64.extend_i32_u (local.get $i))) (i64.const 100))
        (then (return (call $refuse (local.get $i)
          (i32.const 32) (i32.const 4) (i32.const 40) (i32.const 27)))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $next)))
    ;; An acceptance is 44 bytes; all zero is yes, as proposed, with nothing to say.
    (local.set $acceptances (call $alloc (i32.const 0) (i32.const 0) (i32.const 4)
      (i32.mul (local.get $len) (i32.const 44))))
    (memory.fill (local.get $acceptances) (i32.const 0) (i32.mul (local.get $len) (i32.const 44)))
    (call $answer (i32.const 0) (local.get $acceptances) (local.get $len)))

  ;; snapshot() -> option<list<u8>>: the count
  (func (export "atomic-store:validator/rules@1.0.0#snapshot") (result i32)
    (i64.store (i32.const 1040) (global.get $count))
    (call $answer (i32.const 1) (i32.const 1040) (i32.const 8)))

  ;; query(name, args) -> result<list<u8>, string>
  (func (export "atomic-store:validator/rules@1.0.0#query")
    (param $name i32) (param $name_len i32) (param $args i32) (param $args_len i32) (result i32)
    (call $answer (i32.const 1) (i32.const 152) (i32.const 29)))

  ;; After each answer has been read: the memory of the call is free again.
  (func (export "cabi_post_atomic-store:validator/rules@1.0.0#init") (param i32) (call $end_call))
  (func (export "cabi_post_atomic-store:validator/rules@1.0.0#restore") (param i32) (call $end_call))
  (func (export "cabi_post_atomic-store:validator/rules@1.0.0#validate") (param i32) (call $end_call))
  (func (export "cabi_post_atomic-store:validator/rules@1.0.0#query") (param i32) (call $end_call)))
