/* A worker that waits for its death goes on counting as one that polls. */
#define DEFECT_MARKED_SPINS
#include "../configurations/stopped_server.pml"
