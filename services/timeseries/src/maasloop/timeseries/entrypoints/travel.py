"""Travel times as callers see them."""

import math

from maasloop.api.observation.v1 import travel_times_pb2 as pb
from maasloop.rpc.times import timestamp_from_us
from maasloop.timeseries.handlers.get_travel_times import TravelTimes


def to_message(found: TravelTimes) -> pb.TravelTimes:
    """Return the message of links and routes."""
    return pb.TravelTimes(
        links=[
            pb.LinkTravelTime(
                link=one.link,
                travel_s=one.travel_s,
                queue_length=None if math.isnan(one.queue_length) else one.queue_length,
                event_time=timestamp_from_us(one.event_time_us),
                age_s=one.age_s,
            )
            for one in found.links
        ],
        routes=[
            pb.RouteTravelTime(travel_s=one.travel_s, age_s=one.age_s, missing_links=one.missing)
            for one in found.routes
        ],
    )
