"""What stands in the street beside the traffic: lamps, cabinets, stations, people's own sensors, and what they say."""
