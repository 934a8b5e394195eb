/* ---- Shared memory ---------------------------------------------------------------------------------- */

typedef Slot {
  byte tag = FREE;       /* tag, who, pos and the two rings are one word in the code, and change at once */
  byte who = 0;
  byte pos = NONE;
  bit ring_owner_at_end = 0;
  bit ring_service_at_end = 0;
  byte task = NONE       /* the payload */
};
typedef WorkerRecord {
  byte current = 0;
  bit doorbell = 1;          /* what it says to one who is awake is of no matter */
  byte life = ALIVE;
  bit kill_wanted = 0;
  bit dead = 0;          /* its process has ended, or was killed; it does nothing any more */
  bit to_be_killed = 0         /* ghost: a task of its was marked for kill */
};

Slot slot[SLOTS];
WorkerRecord record[WORKERS];
byte tail = 0, head = 0;
bit closing = 0;
byte spinning = 0, asleep = 0;  /* a bit a worker */
#if STRAY
byte resting = 0;               /* ghost: a bit a worker that sleeps until it is rung */
#endif
bit owner_doorbell = 0;             /* the owner's doorbell has rung since its value was read */
bit service_doorbell = 0;           /* the service thread's event */

/* ---- The owner's private memory, under its mutex ------------------------------------------------------ */

bit mutex = 0;
byte owner_of[SLOTS] = NONE;
byte position[TASKS] = NONE;
byte ending[TASKS] = PENDING;
byte wanted[TASKS] = PENDING;
byte rings[TASKS] = 0;          /* 1 owner, 2 service: for when it is published */
byte next_position = 0;         /* `tail_` */
byte backlog = 0;               /* mask; the lowest number is the oldest task */
byte in_slots = 0, unfinished = 0;
byte retries = RETRIES;
bit refill_asked = 0, published = 0, was_idle = 0;
bit stop_service = 0, server_gone = 0;
byte crashes = CRASHES;

/* Ghosts. */
byte started = 0;               /* mask: was claimed at least once */
byte runs[TASKS] = 0;           /* claims that no death has undone */

/* ---- Store buffers: the owner's stores to a slot and to `tail`, a worker's to its `current` ----------- */

byte late_slot = NONE, late_pos = 0, late_rings = 0;  /* a store of `ready` that others do not see yet */
byte late_tail = 0;                                   /* what `tail` is going to be */
byte late_current[WORKERS] = NONE;

#define DRAIN_SLOT                                                                              \
  if                                                                                            \
  :: late_slot != NONE ->                                                                       \
     slot[late_slot].tag = READY; slot[late_slot].pos = late_pos; slot[late_slot].who = 0;      \
     slot[late_slot].ring_owner_at_end = late_rings & 1; slot[late_slot].ring_service_at_end = late_rings >> 1; \
     late_slot = NONE; late_pos = 0; late_rings = 0                                             \
  :: else                                                                                       \
  fi
#define DRAIN DRAIN_SLOT; tail = late_tail
#define DRAIN_CURRENT(w)                                                                        \
  if                                                                                            \
  :: late_current[w] != NONE -> record[w].current = late_current[w]; late_current[w] = NONE       \
  :: else                                                                                       \
  fi

#ifdef STORE_BUFFERS
/* In order, at any time. */
active proctype Memory() {
end:
  do
  :: d_step { late_slot != NONE -> DRAIN_SLOT }
  :: d_step { late_slot == NONE && tail != late_tail -> tail = late_tail }
  :: d_step { late_current[0] != NONE -> DRAIN_CURRENT(0) }
  :: d_step { late_current[1] != NONE -> DRAIN_CURRENT(1) }
  od
}
#endif

/* ---- Looks --------------------------------------------------------------------------------------------- */

#define AT(p) slot[(p) % SLOTS]
#ifdef DEFECT_POSITION_NOT_CHECKED
#define STILL_READY_AT(p) (AT(p).tag == READY)
#else
#define STILL_READY_AT(p) (AT(p).tag == READY && AT(p).pos == (p))
#endif
#define READY_AT(p) (AT(p).tag == READY && AT(p).pos == (p))
/* The owner's view of a slot that task t has: its own late store counts. */
#define IS_READY(s) (late_slot == (s) || slot[s].tag == READY)
#define IS_DONE(s, t) (late_slot != (s) && slot[s].tag == DONE && slot[s].pos == position[t])
