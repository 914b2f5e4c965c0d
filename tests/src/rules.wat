;; A validator that does as the first byte of each payload says:
;;
;;   a..    accept
;;   m..    accept, with the reason "yes" and the payload as meta
;;   r..    refuse, with the reason "no" and the payload as meta
;;   t..    trap
;;   l..    loop for ever
;;   0..9   accept if so many events, modulo 10, come before it; those of the same append count
;;   other  refuse
;;
;; The state is the number of events. Query `count`: that number; `folded`: how many of them this
;; instance folded itself rather than got from a snapshot. Both as 8 bytes, lowest first.
;;
;; Memory: 0..256 constants, 256..512 return area, from 4096 the heap, emptied after each call.
(module
  (memory $memory (export "memory") 2)
  (global $heap (mut i32) (i32.const 4096))
  (global $count (mut i64) (i64.const 0))
  (global $folded (mut i64) (i64.const 0))
  (data (i32.const 8) "rules")
  (data (i32.const 16) "1.0.0")
  (data (i32.const 24) "no")
  (data (i32.const 28) "yes")
  ;; description: name, version, no kinds
  (data (i32.const 32) "\08\00\00\00\05\00\00\00\10\00\00\00\05\00\00\00\00\00\00\00\00\00\00\00")
  ;; reason: code, message, no data, no seqs
  (data (i32.const 128) "\18\00\00\00\02\00\00\00\18\00\00\00\02\00\00\00")

  (func $alloc (export "cabi_realloc")
      (param $old i32) (param $old_len i32) (param $align i32) (param $len i32) (result i32)
    (local $at i32) (local $short i32)
    (local.set $at (i32.and
      (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
      (i32.sub (i32.const 0) (local.get $align))))
    (global.set $heap (i32.add (local.get $at) (local.get $len)))
    (local.set $short (i32.sub (global.get $heap) (i32.mul (memory.size) (i32.const 65536))))
    (if (i32.gt_s (local.get $short) (i32.const 0)) (then
      (if (i32.eq (i32.const -1) (memory.grow
            (i32.shr_u (i32.add (local.get $short) (i32.const 65535)) (i32.const 16))))
        (then unreachable))))
    (local.get $at))

  (func $reset (global.set $heap (i32.const 4096)))

  ;; A list in the case `$case` of a result or an option.
  (func $list (param $case i32) (param $at i32) (param $len i32) (result i32)
    (i32.store8 (i32.const 256) (local.get $case))
    (i32.store (i32.const 260) (local.get $at))
    (i32.store (i32.const 264) (local.get $len))
    (i32.const 256))

  (func $number (param $case i32) (param $number i64) (result i32)
    (i64.store (i32.const 320) (local.get $number))
    (call $list (local.get $case) (i32.const 320) (i32.const 8)))

  ;; No to the proposal at `$proposal`, with its payload as meta.
  (func $refuse (param $index i32) (param $proposal i32) (result i32)
    (i32.store8 (i32.const 256) (i32.const 1))
    (i32.store (i32.const 260) (local.get $index))
    (i32.store (i32.const 264) (i32.const 128))
    (i32.store (i32.const 268) (i32.const 1))
    (i32.store8 (i32.const 272) (i32.const 1))
    (i32.store (i32.const 276) (i32.load offset=16 (local.get $proposal)))
    (i32.store (i32.const 280) (i32.load offset=20 (local.get $proposal)))
    (i32.const 256))

  ;; Adds reason and meta to an acceptance.
  (func $explain (param $acceptance i32) (param $proposal i32)
    (i32.store offset=12 (local.get $acceptance) (i32.const 1))
    (i32.store offset=16 (local.get $acceptance) (i32.const 28))
    (i32.store offset=20 (local.get $acceptance) (i32.const 3))
    (i32.store offset=24 (local.get $acceptance) (i32.const 1))
    (i32.store offset=28 (local.get $acceptance) (i32.load offset=16 (local.get $proposal)))
    (i32.store offset=32 (local.get $acceptance) (i32.load offset=20 (local.get $proposal))))

  ;; The digit that is due `$index` events after the state.
  (func $due (param $index i32) (result i32)
    (i32.add (i32.const 48) (i32.wrap_i64 (i64.rem_u
      (i64.add (global.get $count) (i64.extend_i32_u (local.get $index)))
      (i64.const 10)))))

  (func (export "atomic-store:validator/rules@1.0.0#describe") (result i32) (i32.const 32))

  (func (export "atomic-store:validator/rules@1.0.0#init")
    (param $scope i32) (param $scope_len i32) (param $config i32) (param $at i32) (param $len i32)
    (result i32)
    (call $reset)
    (call $list (i32.const 0) (i32.const 0) (i32.const 0)))

  (func (export "atomic-store:validator/rules@1.0.0#restore")
    (param $scope i32) (param $scope_len i32) (param $config i32) (param $at i32) (param $len i32)
    (param $snapshot i32) (param $snapshot_len i32) (result i32)
    (global.set $count (i64.load align=1 (local.get $snapshot)))
    (call $reset)
    (call $list (i32.const 0) (i32.const 0) (i32.const 0)))

  (func (export "atomic-store:validator/rules@1.0.0#apply") (param $at i32) (param $len i32)
    (global.set $count (i64.add (global.get $count) (i64.extend_i32_u (local.get $len))))
    (global.set $folded (i64.add (global.get $folded) (i64.extend_i32_u (local.get $len))))
    (call $reset))

  (func (export "atomic-store:validator/rules@1.0.0#validate")
    (param $at i32) (param $len i32) (result i32)
    (local $i i32) (local $proposal i32) (local $op i32) (local $acceptances i32)
    (local.set $acceptances (call $alloc (i32.const 0) (i32.const 0) (i32.const 4)
      (i32.mul (local.get $len) (i32.const 44))))
    (memory.fill (local.get $acceptances) (i32.const 0) (i32.mul (local.get $len) (i32.const 44)))
    (block $done (loop $next
      (br_if $done (i32.eq (local.get $i) (local.get $len)))
      (local.set $proposal (i32.add (local.get $at) (i32.mul (local.get $i) (i32.const 64))))
      (local.set $op (i32.const 0))
      (if (i32.load offset=20 (local.get $proposal)) (then
        (local.set $op (i32.load8_u (i32.load offset=16 (local.get $proposal))))))
      (block $yes
        (br_if $yes (i32.eq (local.get $op) (i32.const 97)))
        (br_if $yes (i32.eq (local.get $op) (call $due (local.get $i))))
        (if (i32.eq (local.get $op) (i32.const 109)) (then
          (call $explain
            (i32.add (local.get $acceptances) (i32.mul (local.get $i) (i32.const 44)))
            (local.get $proposal))
          (br $yes)))
        (if (i32.eq (local.get $op) (i32.const 116)) (then unreachable))
        (if (i32.eq (local.get $op) (i32.const 108)) (then (loop $forever (br $forever))))
        (return (call $refuse (local.get $i) (local.get $proposal))))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $next)))
    (i32.store8 (i32.const 256) (i32.const 0))
    (i32.store (i32.const 260) (local.get $acceptances))
    (i32.store (i32.const 264) (local.get $len))
    (i32.const 256))
  (func (export "cabi_post_atomic-store:validator/rules@1.0.0#validate") (param i32) call $reset)

  (func (export "atomic-store:validator/rules@1.0.0#snapshot") (result i32)
    (call $number (i32.const 1) (global.get $count)))
  (func (export "cabi_post_atomic-store:validator/rules@1.0.0#snapshot") (param i32) call $reset)

  (func (export "atomic-store:validator/rules@1.0.0#query")
    (param $name i32) (param $name_len i32) (param $at i32) (param $len i32) (result i32)
    (local $first i32)
    (if (local.get $name_len) (then (local.set $first (i32.load8_u (local.get $name)))))
    (if (i32.eq (local.get $first) (i32.const 99)) (then
      (return (call $number (i32.const 0) (global.get $count)))))
    (if (i32.eq (local.get $first) (i32.const 102)) (then
      (return (call $number (i32.const 0) (global.get $folded)))))
    (call $list (i32.const 1) (i32.const 24) (i32.const 2)))
  (func (export "cabi_post_atomic-store:validator/rules@1.0.0#query") (param i32) call $reset)
)
